"""Providers: who answers requests for models. Each is one module; the registry names them all."""
