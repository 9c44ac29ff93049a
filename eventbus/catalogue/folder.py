"""Declarations from a folder of JSON files, one file for a type or a pattern of types."""

from __future__ import annotations

from pathlib import Path

from eventbus.catalogue.compiled import CompiledSchema
from eventbus.catalogue.declaration import Declaration
from eventbus.errors import DeclarationError, FieldError, JsonTextError
from eventbus.json_reader import read_json

MOST_FILES = 5_000
MAX_FILE_BYTES = 262_144


def read_folder(folder: Path | str) -> list[Declaration]:
    """The declarations of all ``*.json`` files below ``folder``, by path.

    A schema is compiled and an example is checked against it, so that what is wrong is told at
    the start. Raises DeclarationError, whose pointers begin with the name of the file.
    """
    root = Path(folder)
    if not root.is_dir():
        raise DeclarationError([FieldError("", f"{str(root)!r} is no folder")])
    errors: list[FieldError] = []
    found: dict[str, Declaration] = {}
    files = sorted(file for file in root.rglob("*.json") if file.is_file())
    if len(files) > MOST_FILES:
        raise DeclarationError([FieldError("", f"{root} has more than {MOST_FILES} files")])
    for file in files:
        name = file.relative_to(root).as_posix()
        try:
            declaration = _read(file, name)
            known = found.setdefault(declaration.type, declaration)
            if known is not declaration:
                raise DeclarationError([
                    FieldError("/type", f"{known.type} is declared in {known.place} already")
                ])  # fmt: skip
        except DeclarationError as error:
            errors += [FieldError(f"{name}: {each.pointer}", each.detail) for each in error.errors]
    if errors:
        raise DeclarationError(errors)
    return list(found.values())


def check_declaration(declaration: Declaration) -> CompiledSchema | None:
    """The compiled schema, and that the example keeps to it. Raises DeclarationError."""
    if declaration.schema is None:
        return None
    compiled = CompiledSchema(declaration.schema, may_recur=declaration.origin != "api")
    if declaration.example is not None:
        found = compiled.violations(dict(declaration.example))
        if found:
            raise DeclarationError([
                FieldError(each.pointer.replace("/data", "/example", 1), each.detail)
                for each in found
            ])  # fmt: skip
    return compiled


def _read(file: Path, name: str) -> Declaration:
    try:
        if (size := file.stat().st_size) > MAX_FILE_BYTES:
            raise DeclarationError([
                FieldError("", f"must have at most {MAX_FILE_BYTES} bytes, not {size}")
            ])  # fmt: skip
        value = read_json(file.read_bytes())
    except OSError as error:
        raise DeclarationError([FieldError("", f"cannot be read: {error.strerror}")]) from None
    except JsonTextError as error:
        raise DeclarationError([FieldError("", str(error))]) from None
    declaration = Declaration.read(value, origin="file", place=name)
    check_declaration(declaration)
    return declaration
