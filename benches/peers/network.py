"""Saves a network of a fleet as PyTorch has it, with random weights, and says what it answers to random windows.

The argument names a JSON file: `file` to write the network to, `seed`, `meaning` for its metadata, the numbers `inputs` of a
step, `others` of a window and `outputs`, and `windows` to answer. The last line printed is JSON: `shown`, `others` and
`said`, each flat, a window after the other.
"""

import json
import sys

import torch
from safetensors.torch import save_file

with open(sys.argv[1]) as file:
    work = json.load(file)
meaning = work["meaning"]


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        hidden = meaning["hidden"]
        self.lstm = torch.nn.LSTM(work["inputs"], hidden, meaning["layers"], batch_first=True)
        self.mix = torch.nn.Linear(hidden + work["others"], hidden)
        self.head = torch.nn.Linear(hidden, work["outputs"])

    def forward(self, shown, others):
        _, (last, _) = self.lstm(shown)
        return self.head(torch.relu(self.mix(torch.cat([last[-1], others], 1))))


torch.manual_seed(work["seed"])
network = Network()
shown = torch.randn(work["windows"], meaning["length"], work["inputs"])
others = torch.randn(work["windows"], work["others"])
with torch.no_grad():
    for weights in network.parameters():
        # Large enough that every part of the network tells in what it says.
        weights.normal_(0.0, 0.4)
    said = network(shown, others)
save_file(network.state_dict(), work["file"], metadata={"foreshadow": json.dumps(meaning)})
print(json.dumps({name: of.flatten().tolist() for name, of in [("shown", shown), ("others", others), ("said", said)]}))
