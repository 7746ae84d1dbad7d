"""Speed, measured: CPU times and ratios, each in one interleaved run."""
