"""`odmr`: the operator's command line. Speaks HTTP, except up, demo and db."""
