"""What tests of several rooms start or compare against: real parts, never mocks."""
