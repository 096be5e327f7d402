"""`netmap admin`: what is around the tailnet: the NATS servers."""

from frontends.cli.groups import Nouns

admin = Nouns(
    help="What is around the tailnet: the NATS servers, their streams and certificates.",
    lazy={"nats": "frontends.cli.adminnats:nats"},
)
