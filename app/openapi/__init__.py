"""The API as a document: what each operation takes and answers, declared once, beside its code."""
