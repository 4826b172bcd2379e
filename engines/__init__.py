"""How do we hear, think and speak?"""

import os

# onnxruntime, which several engines use, reports to its makers who runs it and how, unless it is
# told not to before it is first imported. Here, so that no engine and no worker can forget it; a
# child process is told by its parent's environment.
os.putenv("ORT_DISABLE_TELEMETRY", "1")
