"""Incoming webhooks: foreign POSTs whose signature is right become events."""
