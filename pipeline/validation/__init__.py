"""Great Expectations on tables that come in: suites, quarantine, and the documents that it makes."""
