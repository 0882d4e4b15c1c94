"""The PyTorch peers, each used as its own documentation does, on the weights that jaxmeta wrote."""

import os

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

OUTER_LR = 1e-3


def package():
    """Name and version."""
    torch.set_num_threads(os.cpu_count() or 1)
    return {"torch": torch.__version__}


def build(peer, name, workload, folder):
    """A function that makes one meta-step and returns its loss and gradient norm."""
    arrays = dict(np.load(folder / f"{name}.npz"))
    episodes = [
        tuple(
            _tensor(arrays[f"{part}_{which}"][i]) for part in ("support", "query") for which in "xy"
        )
        for i in range(workload.tasks)
    ]
    if workload.kind == "mann":
        return _mann(arrays, episodes), 1
    net = Mlp() if not workload.side else Conv4(workload)
    net.load(arrays)
    task_loss = F.mse_loss if not workload.side else F.cross_entropy
    if workload.kind == "prototypical":
        return _prototypical(peer, net, episodes), 1
    makers = {
        "torch loop": _loop,
        "torch.func": _func,
        "higher": _higher,
        "TorchOpt": _torchopt,
        "learn2learn": _learn2learn,
    }
    return makers[peer](net, task_loss, workload, episodes), 1


def _tensor(x):
    """Images as `[M, C, H, W]`."""
    x = torch.tensor(x)
    return x.permute(0, 3, 1, 2).contiguous() if x.ndim == 4 else x


class Conv4(nn.Module):
    """Conv4 with 2x2 pooling, normalised by the batch."""

    def __init__(self, workload):
        super().__init__()
        width, channels = workload.width, workload.channels
        has_head = workload.kind == "maml"
        self.convs = nn.ModuleList(
            nn.Conv2d(channels if block == 0 else width, width, 3, padding=1, bias=False)
            for block in range(4)
        )
        self.norms = nn.ModuleList(
            nn.BatchNorm2d(width, track_running_stats=False) for _ in range(4)
        )
        self.side = workload.side // 16
        self.head = nn.Linear(width * self.side**2, workload.n_way) if has_head else nn.Identity()

    def forward(self, x):
        """Logits `[M, N]`, or an embedding."""
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.max_pool2d(F.relu(norm(conv(x))), 2)
        return self.head(x.flatten(1))

    @torch.no_grad()
    def load(self, arrays):
        """Takes jaxmeta's weights."""
        for block, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            conv.weight.copy_(_weight(arrays, f"block_{block}/kernel").permute(3, 2, 0, 1))
            norm.weight.copy_(_weight(arrays, f"block_{block}/norm/scale"))
            norm.bias.copy_(_weight(arrays, f"block_{block}/norm/bias"))
        if isinstance(self.head, nn.Linear):
            # Rows of a flattened [h, w, C] map, in the order of [C, h, w].
            kernel = _weight(arrays, "head/kernel")
            kernel = kernel.reshape(self.side, self.side, -1, kernel.shape[1])
            self.head.weight.copy_(kernel.permute(3, 2, 0, 1).flatten(1))
            self.head.bias.copy_(_weight(arrays, "head/bias"))


class Mlp(nn.Module):
    """The sinusoid net."""

    def __init__(self):
        super().__init__()
        self.dense_0, self.dense_1 = nn.Linear(1, 40), nn.Linear(40, 40)
        self.head = nn.Linear(40, 1)

    def forward(self, x):
        """Values `[M, 1]`."""
        return self.head(F.relu(self.dense_1(F.relu(self.dense_0(x)))))

    @torch.no_grad()
    def load(self, arrays):
        """Takes jaxmeta's weights."""
        for name, layer in self.named_children():
            layer.weight.copy_(_weight(arrays, f"{name}/kernel").T)
            layer.bias.copy_(_weight(arrays, f"{name}/bias"))


def _weight(arrays, name):
    (found,) = [key for key in arrays if key.startswith("weight") and key.endswith("/" + name)]
    return torch.tensor(arrays[found])


def _outer(parameters, losses):
    """One outer Adam step on the mean of `losses()`, an iterator over the tasks' losses."""
    parameters = list(parameters)
    optimiser = torch.optim.Adam(parameters, OUTER_LR)

    def step():
        optimiser.zero_grad()
        total = losses()
        norm = torch.sqrt(sum(p.grad.square().sum() for p in parameters))
        optimiser.step()
        return float(total), float(norm)

    return step


def _loop(net, task_loss, workload, episodes):
    """Eager, one task after another, `torch.autograd.grad` inside."""
    names = [name for name, _ in net.named_parameters()]
    weights = list(net.parameters())

    def call(weights, x):
        return torch.func.functional_call(net, dict(zip(names, weights, strict=True)), (x,))

    def losses():
        total = 0.0
        for x, y, query_x, query_y in episodes:
            adapted = weights
            for _ in range(workload.inner_steps):
                grads = torch.autograd.grad(
                    task_loss(call(adapted, x), y),
                    adapted,
                    create_graph=not workload.first_order,
                )
                adapted = [w - workload.inner_lr * g for w, g in zip(adapted, grads, strict=True)]
            loss = task_loss(call(adapted, query_x), query_y) / len(episodes)
            loss.backward()
            total += loss.detach()
        return total

    return _outer(weights, losses)


def _func(net, task_loss, workload, episodes):
    """`torch.func`: gradients of functions, tasks under `vmap`."""
    weights = dict(net.named_parameters())
    batch = [torch.stack(leaves) for leaves in zip(*episodes, strict=True)]

    def loss_of(weights, x, y):
        return task_loss(torch.func.functional_call(net, weights, (x,)), y)

    def after(weights, x, y, query_x, query_y):
        for _ in range(workload.inner_steps):
            grads = torch.func.grad(loss_of)(weights, x, y)
            if workload.first_order:
                grads = {name: g.detach() for name, g in grads.items()}
            weights = {name: w - workload.inner_lr * grads[name] for name, w in weights.items()}
        return loss_of(weights, query_x, query_y)

    def mean_loss(weights):
        over_tasks = torch.func.vmap(after, in_dims=(None, 0, 0, 0, 0))
        return over_tasks(weights, *batch).mean()

    def losses():
        grads, total = torch.func.grad_and_value(mean_loss)(
            {name: w.detach() for name, w in weights.items()}
        )
        for name, weight in weights.items():
            weight.grad = grads[name]
        return total

    return _outer(weights.values(), losses)


def _higher(net, task_loss, workload, episodes):
    """higher: a differentiable copy of the net and of SGD for each task."""
    import higher

    sgd = torch.optim.SGD(net.parameters(), workload.inner_lr)

    def losses():
        total = 0.0
        for x, y, query_x, query_y in episodes:
            with higher.innerloop_ctx(
                net,
                sgd,
                copy_initial_weights=False,
                track_higher_grads=not workload.first_order,
            ) as (copy, inner):
                for _ in range(workload.inner_steps):
                    inner.step(task_loss(copy(x), y))
                loss = task_loss(copy(query_x), query_y) / len(episodes)
                if workload.first_order:
                    # The adapted weights are leaves: their gradients are moved by hand.
                    grads = torch.autograd.grad(loss, copy.parameters())
                    for weight, grad in zip(net.parameters(), grads, strict=True):
                        weight.grad = grad if weight.grad is None else weight.grad + grad
                else:
                    loss.backward()
                total += loss.detach()
        return total

    return _outer(net.parameters(), losses)


def _torchopt(net, task_loss, workload, episodes):
    """TorchOpt: `MetaSGD`, the net put back after each task."""
    import torchopt

    inner = torchopt.MetaSGD(net, lr=workload.inner_lr)
    weights = list(net.parameters())

    def losses():
        total = 0.0
        before = torchopt.extract_state_dict(net, by="reference", detach_buffers=True)
        state = torchopt.extract_state_dict(inner, by="reference")
        for x, y, query_x, query_y in episodes:
            for _ in range(workload.inner_steps):
                inner.step(task_loss(net(x), y))
            loss = task_loss(net(query_x), query_y) / len(episodes)
            loss.backward()
            total += loss.detach()
            torchopt.recover_state_dict(net, before)
            torchopt.recover_state_dict(inner, state)
        return total

    return _outer(weights, losses)


def _learn2learn(net, task_loss, workload, episodes):
    """learn2learn: a clone of the wrapped net adapts to each task."""
    import learn2learn

    maml = learn2learn.algorithms.MAML(net, lr=workload.inner_lr, first_order=workload.first_order)

    def losses():
        total = 0.0
        for x, y, query_x, query_y in episodes:
            clone = maml.clone()
            for _ in range(workload.inner_steps):
                clone.adapt(task_loss(clone(x), y))
            loss = task_loss(clone(query_x), query_y) / len(episodes)
            loss.backward()
            total += loss.detach()
        return total

    return _outer(maml.parameters(), losses)


def _prototypical(peer, net, episodes):
    """The eager equations, or easyfsl's class, whose negative distances are squared."""
    if peer == "easyfsl":
        from easyfsl.methods import PrototypicalNetworks

        learner = PrototypicalNetworks(net, use_softmax=False)

        def outputs(x, y, query_x):
            learner.process_support_set(x, y.argmax(1))
            return -learner(query_x).square()
    else:

        def outputs(x, y, query_x):
            centres = y.T @ net(x) / y.sum(0)[:, None]
            return -(net(query_x)[:, None] - centres).square().sum(-1)

    def losses():
        total = 0.0
        for x, y, query_x, query_y in episodes:
            loss = F.cross_entropy(outputs(x, y, query_x), query_y) / len(episodes)
            loss.backward()
            total += loss.detach()
        return total

    return _outer(net.parameters(), losses)


def _mann(arrays, episodes):
    """MANN with least recently used access, all streams side by side, a Python loop over steps."""
    weights = {
        name.removeprefix("weight"): nn.Parameter(torch.tensor(array))
        for name, array in arrays.items()
        if name.startswith("weight")
    }
    x = torch.stack([episode[2] for episode in episodes]).flatten(2)  # [B, T, I]
    y = torch.stack([episode[3] for episode in episodes])
    streams, length, n_way = y.shape
    before = torch.cat([torch.zeros(streams, 1, n_way), y[:, :-1]], 1)
    inputs = torch.cat([x, before], 2)
    slots, width, heads, decay = 128, 40, 4, 0.99

    def cosines(keys, memory):  # [B, heads, width], [B, slots, width]
        norms = [torch.rsqrt(v.square().sum(-1, keepdim=True) + 1e-6) for v in (keys, memory)]
        return (keys * norms[0]) @ (memory * norms[1]).mT

    def losses():
        first = F.one_hot(torch.zeros(streams, dtype=torch.long), slots).float()
        memory = torch.full((streams, slots, width), 1e-6)
        read_weights, usage = first[:, None].repeat(1, heads, 1), first
        h = c = torch.zeros(streams, 200)
        read = torch.zeros(streams, heads * width)
        projected = inputs @ weights["controller/inputs"] + weights["controller/bias"]
        outputs = []
        for t in range(length):
            gates = (
                projected[:, t]
                + read @ weights["controller/reads"]
                + h @ weights["controller/recurrent"]
            )
            i, f, g, o = gates.chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            numbers = h @ weights["interface/kernel"] + weights["interface/bias"]
            keys = torch.tanh(numbers[:, : heads * width]).unflatten(1, (heads, width))
            alpha = torch.sigmoid(numbers[:, heads * width :])[:, :, None]
            least = usage.topk(heads, largest=False).indices
            w_lu = torch.zeros_like(usage).scatter(1, least, 1.0)
            w_w = alpha * read_weights + (1 - alpha) * w_lu[:, None]
            keep = torch.ones_like(usage).scatter(1, least[:, :1], 0.0)
            memory = memory * keep[:, :, None] + w_w.mT @ keys
            read_weights = torch.softmax(cosines(keys, memory), 2)
            read = (read_weights @ memory).flatten(1)
            usage = decay * usage + (read_weights + w_w).sum(1)
            outputs.append(
                torch.cat([h, read], 1) @ weights["output/kernel"] + weights["output/bias"]
            )
        loss = F.cross_entropy(torch.stack(outputs, 1).flatten(0, 1), y.flatten(0, 1))
        loss.backward()
        return loss.detach()

    return _outer(weights.values(), losses)
