"""The OCPP bridge: takes ``publication/1`` documents, and sees to it that chargers do what was planned.

Here live the server that charging stations connect to, the conversion of plans into charging profiles, the safety
invariant over what stations may hold, the outbox that survives a kill, and the frame log that ingestion reads.
Planning, the warehouse and the orchestrator are not known here: the bridge may stand on another machine.
"""
