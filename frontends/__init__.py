"""The frontends serve: the control protocol to clients, the command line to people."""
