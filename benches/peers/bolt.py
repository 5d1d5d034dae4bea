"""Makes a checkpoint of Chronos-Bolt with random weights, and says what the package `chronos-forecasting` forecasts by it.

The argument names a JSON file: `folder` to write the checkpoint to, `seed`, `config` of the T5 with its `chronos_config`,
`contexts` (null where nothing was observed) and `horizon`. The last line printed is JSON: `said`, [series][levels][steps].
"""

import json
import sys

import torch
from chronos.chronos_bolt import ChronosBoltModelForForecasting, ChronosBoltPipeline
from transformers import T5Config

with open(sys.argv[1]) as file:
    work = json.load(file)
config = T5Config(**work["config"], architectures=["ChronosBoltModelForForecasting"])
model = ChronosBoltModelForForecasting(config).eval()
torch.manual_seed(work["seed"])
with torch.no_grad():
    for weights in model.parameters():
        # Large enough that every part of the network tells in what it says.
        weights.normal_(0.0, 0.4)
model.save_pretrained(work["folder"], safe_serialization=True)
nan = float("nan")
contexts = [torch.tensor([nan if y is None else y for y in own], dtype=torch.float32) for own in work["contexts"]]
pipeline = ChronosBoltPipeline.from_pretrained(work["folder"])
# One by one: beside longer ones a context is padded, and where patches overlap that alone changes what is said of it.
said = [pipeline.predict([own], prediction_length=work["horizon"])[0].tolist() for own in contexts]
print(json.dumps({"said": said}))
