"""What `choregos check` looks at: a catalogue of checks, what is read for them, and a pure function for each section.

`read_facts` asks the cluster and its buses once; what could not be asked is `Unknown`, with the reason. The functions of
`kubernetes`, `definitions`, `operator`, `webhook`, `nats`, `choreographies`, `pods` and `flow` turn that into lines. A
check whose facts are unknown is skipped and says why; it is never fine.
"""
