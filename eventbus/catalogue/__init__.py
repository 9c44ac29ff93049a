"""The catalogue of event types: what is declared about them, and payloads checked against that."""

from eventbus.catalogue.catalogue import Catalogue, Found
from eventbus.catalogue.declaration import Declaration, Mode, Origin
from eventbus.catalogue.folder import read_folder
from eventbus.catalogue.inference import inferred
from eventbus.catalogue.policy import ModeRule, ModeRules
from eventbus.catalogue.tally import Tally, TypeTally

__all__ = [
    "Catalogue",
    "Declaration",
    "Found",
    "Mode",
    "ModeRule",
    "ModeRules",
    "Origin",
    "Tally",
    "TypeTally",
    "inferred",
    "read_folder",
]
