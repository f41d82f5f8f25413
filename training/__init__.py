"""Cloud side: from telemetry to one ONNX file that has been judged before it may plan."""
