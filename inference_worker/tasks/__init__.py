"""The thin shell around the engine: message → contract → library → result. No rules and no database here."""
