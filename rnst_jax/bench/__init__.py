"""Speed on the machine at hand: what ``rnst benchmark`` and ``benchmarks/`` measure. No data are needed."""
