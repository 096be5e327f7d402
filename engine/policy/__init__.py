"""Who sees whom, and who may send what to whom; pure.

- `policy.py`: identities of classes, what a policy says of each, and the interface of every policy
- `allow_all.py`: the policy of a tailnet that has none: everybody sees and may reach everybody
"""
