"""The provider's programs. They never import one another: they meet on the bus and in the spool."""
