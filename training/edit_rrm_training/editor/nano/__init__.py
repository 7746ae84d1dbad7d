"""nano-editor: a FLUX.1-Kontext pipeline small enough to train on a laptop, for the shapes world."""
