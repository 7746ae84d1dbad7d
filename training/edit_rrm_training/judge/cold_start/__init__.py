"""The method's cold start: from (instruction, source, edited) rows to an SFT set, in four resumable steps."""
