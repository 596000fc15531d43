"""Where datagrams come from. Each listener hands batches of (datagram, source) to whoever runs the intake."""
