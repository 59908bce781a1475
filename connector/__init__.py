"""connector: the customer's side, for mail servers that know no ODMR. Standard library, shared.protocol and shared.tls."""
