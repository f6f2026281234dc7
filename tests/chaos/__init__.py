"""The fault campaign: a choreography under load and faults, and the proof from ledgers and streams that nothing is lost."""
