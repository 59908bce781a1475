"""outbound: runs the sweeps of the spool. Delivery status notifications to the internet come here; none is sent yet."""
