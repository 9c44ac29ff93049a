"""The settings as the table of docs/configuration.md, which a test compares."""

from __future__ import annotations

from dataclasses import fields

from app.config import VARIABLES, Settings


def documentation_table() -> str:
    """The variables as the Markdown table of ``docs/configuration.md``, which a test compares."""
    defaults = {field.name: field.default for field in fields(Settings)}
    lines = ["| variable | default | allowed | meaning |", "|---|---|---|---|"]
    for variable in VARIABLES:
        default = defaults[variable.field]
        if variable.field == "database_url":
            shown = "the file `var/events.db` of the project"
        elif variable.field == "files_folder":
            shown = "the folder `var` of the project"
        elif isinstance(default, bool):
            shown = "yes" if default else "no"
        elif isinstance(default, tuple):
            shown = ", ".join(f"`{name}`" for name in default) or "none"
        elif default is None or default == "":
            shown = "none"
        else:
            shown = f"`{default:g}`" if isinstance(default, float) else f"`{default}`"
        lines.append(f"| `{variable.name}` | {shown} | {variable.allowed} | {variable.meaning} |")
    return "\n".join(lines) + "\n"
