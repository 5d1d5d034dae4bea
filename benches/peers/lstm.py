"""Does in PyTorch what a bank of LSTM networks does.

Usage: lstm.py WORK.json

WORK.json is one object: `hidden`, `layers`, `levels`; and either

- `weights`, one network's as the bank lays them out, `x` [length][windows][inputs] and `y` [length][windows], null where
  nothing is known: the answer is {"loss", "gradient"} of one network, in the bank's order; or
- `steps` of training at `rate` and `clip`, `windows` of `length` steps, and `values`, one list for each network: each is to
  tell its next value from those before. The answer is {"loop_seconds", "bmm_seconds", "loss", "matmul_gflops"}: what the training of all
  takes where every network is a module of its own, one trained on each core at a time; where one batched product serves
  all of them; the mean loss of the networks of the first way on windows spread over their values; and `matmul_gflops`, the rate of products of
  the sizes of a step, `[windows, 1 + hidden]` by `[1 + hidden, 4 hidden]`. With `device` "cuda" and a `way`, "loop" or "bmm",
  the answer is {"seconds"}: what that way takes there for the steps and for thrice as many.

All in float32, on all cores; on a card products are in TensorFloat-32, as PyTorch's LSTM has them there.
"""

import concurrent.futures
import json
import math
import multiprocessing
import os
import sys
import time

import torch

CORES = os.cpu_count()
# Networks of one batched product: their windows' past stays in the last cache.
TOGETHER = 16


class Network(torch.nn.Module):
    def __init__(self, inputs, hidden, layers, outputs):
        super().__init__()
        self.cells = torch.nn.LSTM(inputs, hidden, layers)
        self.head = torch.nn.Linear(hidden, outputs)

    def forward(self, x):
        return self.head(self.cells(x)[0])

    def in_order(self):
        """Parameters as the bank lays them out; it has one bias a gate, so the second one is nothing."""
        for layer in range(self.cells.num_layers):
            for name in ("weight_ih", "weight_hh", "bias_ih"):
                yield getattr(self.cells, f"{name}_l{layer}")
        yield from (self.head.weight, self.head.bias)


def pinball(said, y, levels):
    error = y.unsqueeze(-1) - said
    known = ~torch.isnan(error)
    error = torch.where(known, error, torch.zeros_like(error))
    return torch.maximum(levels * error, (levels - 1) * error).sum() / known.sum()


def gradient(work):
    x = torch.tensor(work["x"])
    y = torch.tensor([[math.nan if v is None else v for v in row] for row in work["y"]])
    network = Network(x.shape[2], work["hidden"], work["layers"], len(work["levels"]))
    flat = torch.tensor(work["weights"])
    with torch.no_grad():
        for layer in range(work["layers"]):
            getattr(network.cells, f"bias_hh_l{layer}").zero_()
        at = 0
        for parameter in network.in_order():
            parameter.copy_(flat[at : at + parameter.numel()].view_as(parameter))
            at += parameter.numel()
    loss = pinball(network(x), y, torch.tensor(work["levels"]))
    loss.backward()
    return {"loss": loss.item(), "gradient": torch.cat([p.grad.flatten() for p in network.in_order()]).tolist()}


def rate(work, taken):
    return work["rate"] * 0.5 * (1 + math.cos(math.pi * taken / work["steps"]))


def windows_of(values, work, generator):
    starts = torch.randint(len(values) - work["length"], (work["windows"],), generator=generator).to(values.device)
    at = starts.unsqueeze(0) + torch.arange(work["length"], device=values.device).unsqueeze(1)
    return values[at].unsqueeze(-1), values[at + 1]


def windows_of_all(values, work, generator):
    """[length][networks][windows] of what each network sees and is to tell."""
    count, steps = values.shape
    starts = torch.randint(steps - work["length"], (count, work["windows"]), generator=generator).to(values.device)
    at = starts.unsqueeze(0) + torch.arange(work["length"], device=values.device).view(-1, 1, 1)
    shown = lambda later: values.gather(1, (at + later).permute(1, 0, 2).reshape(count, -1)).view(count, *at.shape[::2]).permute(1, 0, 2)
    return shown(0).unsqueeze(-1), shown(1)


def train_one(work, values, seed):
    device = work.get("device", "cpu")
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    levels, values = torch.tensor(work["levels"], device=device), torch.tensor(values, device=device)
    network = Network(1, work["hidden"], work["layers"], len(work["levels"])).to(device)
    adam = torch.optim.Adam(network.parameters(), lr=work["rate"], fused=True)
    for taken in range(work["steps"]):
        for group in adam.param_groups:
            group["lr"] = rate(work, taken)
        x, y = windows_of(values, work, generator)
        loss = pinball(network(x), y, levels)
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), work["clip"])
        adam.step()
    with torch.no_grad():
        starts = torch.arange(work["windows"], device=device) * (len(values) - 1 - work["length"]) // work["windows"]
        at = starts.unsqueeze(0) + torch.arange(work["length"], device=device).unsqueeze(1)
        return pinball(network(values[at].unsqueeze(-1)), values[at + 1], levels).item()


def one_thread():
    torch.set_num_threads(1)
    # What a process pays once is not the training's.
    train_one({"hidden": 4, "layers": 1, "levels": [0.5], "steps": 2, "rate": 0.01, "clip": 1.0, "windows": 2, "length": 4}, [0.0] * 9, 0)


def loop(work):
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(CORES, context, one_thread) as pool:
        list(pool.map(abs, range(CORES), chunksize=1))
        time.sleep(1.0)
        began = time.perf_counter()
        losses = list(pool.map(train_one, [work] * len(work["values"]), work["values"], range(len(work["values"]))))
        return time.perf_counter() - began, sum(losses) / len(losses)


def bmm(work, together=TOGETHER):
    """One layer, all networks of a group by one product a step."""
    torch.set_num_threads(CORES)
    torch.manual_seed(0)
    device = work.get("device", "cpu")
    levels, hidden = torch.tensor(work["levels"], device=device), work["hidden"]
    generator = torch.Generator().manual_seed(0)
    began = time.perf_counter()
    for first in range(0, len(work["values"]), together):
        values = torch.tensor(work["values"][first : first + together], device=device)
        count, bound = len(values), 1 / math.sqrt(hidden)
        shapes = [(count, 1 + hidden, 4 * hidden), (count, 1, 4 * hidden), (count, hidden, len(levels)), (count, 1, len(levels))]
        parameters = [torch.empty(shape, device=device).uniform_(-bound, bound).requires_grad_() for shape in shapes]
        adam = torch.optim.Adam(parameters, lr=work["rate"], fused=True)
        for taken in range(work["steps"]):
            for group in adam.param_groups:
                group["lr"] = rate(work, taken)
            x, y = windows_of_all(values, work, generator)
            weights, bias, head, head_bias = parameters
            h = c = torch.zeros(count, work["windows"], hidden, device=device)
            told = []
            for t in range(work["length"]):
                i, f, g, o = torch.baddbmm(bias, torch.cat((x[t], h), -1), weights).chunk(4, -1)
                c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                h = o.sigmoid() * c.tanh()
                told.append(h)
            said = torch.stack(told) @ head + head_bias
            error = y.unsqueeze(-1) - said
            loss = torch.maximum(levels * error, (levels - 1) * error).mean((0, 2, 3)).sum()
            adam.zero_grad()
            loss.backward()
            with torch.no_grad():
                norm = sum(p.grad.square().sum((1, 2)) for p in parameters).sqrt()
                share = (work["clip"] / norm).clamp(max=1.0).view(-1, 1, 1)
                for parameter in parameters:
                    parameter.grad *= share
            adam.step()
    return time.perf_counter() - began


def on_card(work):
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    all_of = {"loop": lambda work: [train_one(work, own, seed) for seed, own in enumerate(work["values"])]}
    all_of["bmm"] = lambda work: bmm(work, len(work["values"]))
    way = all_of[work["way"]]
    # What a process pays once is not the training's.
    way(work | {"steps": 2, "values": work["values"][:2] if work["way"] == "loop" else work["values"]})
    seconds = []
    for times in (1, 3):
        torch.cuda.synchronize()
        began = time.perf_counter()
        way(work | {"steps": times * work["steps"]})
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return seconds


def matmul_gflops(work):
    torch.set_num_threads(CORES)
    rows, inner, columns = work["windows"], 1 + work["hidden"], 4 * work["hidden"]
    batch = work["length"]
    a, b, out = torch.rand(batch, rows, inner), torch.rand(batch, inner, columns), torch.empty(batch, rows, columns)
    best = math.inf
    for _ in range(200):
        began = time.perf_counter()
        torch.bmm(a, b, out=out)
        best = min(best, time.perf_counter() - began)
    return 2 * batch * rows * inner * columns / best / 1e9


def main():
    with open(sys.argv[1]) as file:
        work = json.load(file)
    if "weights" in work:
        answer = gradient(work)
    elif "way" in work:
        answer = {"seconds": on_card(work)}
    else:
        seconds, loss = loop(work)
        answer = {"loop_seconds": seconds, "bmm_seconds": bmm(work), "loss": loss, "matmul_gflops": matmul_gflops(work)}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
