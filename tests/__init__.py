"""The test-suite; its files mirror the modules."""
