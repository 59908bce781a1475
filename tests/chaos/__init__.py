"""The ledger of RELIABILITY 6: senders, customers and faults write down what happened, and a checker reads it."""
