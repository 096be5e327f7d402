"""The program `netmap`: one file for each noun; all but `serve` talks to the tailnet over NATS only.

- `main.py`: the tree of commands; `groups.py`: nouns that are imported on demand, aliases
- `operator.py`: the options that every command has; answers to stdout, everything else to stderr
- `place.py`, `session.py`, `world.py`: where the tailnet is; one conversation; bus, clock and ids
- `failure.py`: exit statuses; `output.py`: tables and documents; `text.py`: words for people; `options.py`: types
- `live.py`: completion with live names
- `user.py`, `preauthkey.py`, `apikey.py`, `auth.py`, `node.py`, `wgonly.py`, `connection.py`, `wg.py`, `netmap.py`, `events.py`,
  `derp.py`, `settings.py`, `policy.py`, `health.py`, `version.py`, `completion.py`: a noun each
- `wgexport.py`, `wgpoll.py`, `wgimport.py`: what the far side of a connection needs, and has; `wgrelays.py`: a provider's relays;
  in which formats: `frontends/farside/`
- `peerlife.py`: what `wg` does to a peer over its life
- `derpmap.py`: DERP maps as people have them
- `policytext.py`, `policyedit.py`: a policy's text on its way in, and through an editor
- `run.py`, `setup.py`: the roles and their settings; `serve.py`: all roles in one process, the composition root;
  `greeting.py`: what it says when everybody answers
"""
