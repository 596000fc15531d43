"""What syslogauth costs, beside the programs that do a like job, in one run: `./dev bench`, `python -m benchmarks`."""
