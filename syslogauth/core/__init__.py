"""What is decided, without a socket, a file, a clock or a log: bytes and `now` go in, grants and refusals come out."""
