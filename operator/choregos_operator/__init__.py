"""The operator's import package, reserved: the controller and the webhook are not built yet (see the CHANGELOG)."""
