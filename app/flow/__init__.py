"""What flows through the bus, as the flow page, the handlers' pages and their API show it."""
