"""Editing models behind one Protocol: a third one is one more file here."""
