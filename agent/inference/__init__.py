"""Forecasts on the gateway: one ONNX file where it has earned it, the best naive rule elsewhere."""
