"""How many workers there should be: one policy, and a simulator of it.

`load` is what the policy is told, `policy` decides, with the help of `demand` (how many slots the outstanding work
needs), `recent` (what was idle lately) and `ceilings` (memory and processors). All of these are pure: they read no
clock, no file and no server, and the same arguments give the same decision. `observe` reads the ledger; `replicas` decides
for each lane again and again, and `export` serves that to an orchestrator. May import: everything below. Imported by
`jobs` and the faces.
"""
