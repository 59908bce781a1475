"""SASL mechanisms as pure functions of a transcript. RFC 4422."""
