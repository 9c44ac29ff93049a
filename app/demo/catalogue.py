"""The platform's world: its models, tasks, queues, machines, and what goes wrong there."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Model:
    """A model under evaluation: its usual latency in milliseconds, and speed."""

    name: str
    queue: str
    latency_ms: float
    tokens_per_s: float
    skill: float  # added to the usual score of a task


@dataclass(frozen=True, slots=True)
class Task:
    """A benchmark: how many samples are run of it, how it is scored, which score is usual."""

    name: str
    dataset: str
    totals: tuple[int, ...]
    scorer: str
    usual_score: float


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that ends an attempt.

    ``is_permanent``: it comes again at every retry. ``message`` may use the fields ``model``,
    ``task``, ``sample``, ``node``, ``number``. ``frames`` are file, line, function and code.
    """

    type: str
    severity: str
    is_permanent: bool
    message: str
    frames: tuple[tuple[str, int, str, str], ...]

    def error(self, **fields: object) -> dict[str, str]:
        """The error as events carry it: type, message, severity and a Python traceback."""
        message = self.message.format(**fields)
        lines = ["Traceback (most recent call last):"]
        for file, line, function, code in (*_RUNNER, *self.frames):
            lines += [f'  File "{file}", line {line}, in {function}', f"    {code}"]
        lines.append(f"{self.type}: {message}")
        return {
            "type": self.type.rpartition(".")[2],
            "message": message,
            "severity": self.severity,
            "traceback": "\n".join(lines),
        }


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that a service of the platform raises an alert for."""

    level: str  # "critical" or "warning"
    service: str
    type: str
    message: str  # may use ``node`` and ``number``


MODELS = (
    Model("vllm/Qwen2.5-7B-Instruct", "gpu-a100", 640, 2150, 0.00),
    Model("vllm/Qwen2.5-72B-Instruct", "gpu-h100", 1830, 780, 0.11),
    Model("vllm/Llama-3.1-8B-Instruct", "gpu-a100", 610, 2280, -0.02),
    Model("vllm/Llama-3.1-70B-Instruct", "gpu-h100", 1760, 820, 0.10),
    Model("vllm/Mistral-7B-Instruct-v0.3", "gpu-a100", 590, 2390, -0.07),
    Model("vllm/gemma-2-9b-it", "gpu-a100", 720, 1890, -0.01),
    Model("vllm/Phi-3.5-mini-instruct", "gpu-a100", 380, 3460, -0.05),
    Model("vllm/atlas-13b-step-48000", "gpu-h100", 840, 1620, -0.09),
    Model("vllm/atlas-13b-step-52000", "gpu-h100", 835, 1640, -0.04),
    Model("api/atlas-13b-chat-rc2", "api-limited", 910, 1480, 0.02),
)

TASKS = (
    Task("gsm8k", "openai/gsm8k", (100, 200, 250), "match", 0.74),
    Task("mmlu", "cais/mmlu", (200, 400, 500), "choice", 0.66),
    Task("humaneval", "openai/openai_humaneval", (40, 82, 164), "verify", 0.61),
    Task("mbpp", "google-research-datasets/mbpp", (100, 257), "verify", 0.58),
    Task("arc_challenge", "allenai/ai2_arc", (100, 300), "choice", 0.80),
    Task("hellaswag", "Rowan/hellaswag", (200, 500), "choice", 0.77),
    Task("truthfulqa", "truthfulqa/truthful_qa", (100, 200), "choice", 0.55),
    Task("gpqa_diamond", "Idavidrein/gpqa", (66, 198), "choice", 0.37),
    Task("math_500", "HuggingFaceH4/MATH-500", (100, 250, 500), "expression_equivalence", 0.52),
    Task("ifeval", "google/IFEval", (100, 270), "instruction_following", 0.71),
    Task("drop", "EleutherAI/drop", (100, 250), "f1", 0.63),
    Task("swe_bench_verified", "princeton-nlp/SWE-bench_Verified", (25, 50, 100), "tests", 0.29),
)

QUEUES = tuple(sorted({model.queue for model in MODELS}))
SIDE_QUEUES = ("dataset-sync", "scoring", "reports")
NODES = tuple(f"{kind}-{number:02d}" for kind in ("a100", "h100") for number in range(1, 5))

_PACKAGES = "/opt/evals/lib/python3.11/site-packages"
_RUNNER = (
    ("/opt/evals/runner/worker.py", 212, "run_attempt", "result = await run_task(task, model)"),
    ("/opt/evals/runner/task.py", 147, "run_task", "state = await solve(sample, state)"),
)
_GENERATE = ("/opt/evals/solvers/generate.py", 63, "generate", "await model.generate(messages)")
_VLLM = f"{_PACKAGES}/vllm/engine/async_llm_engine.py"
_SCORE = ("/opt/evals/runner/task.py", 171, "score", "scores = await scorer(state, target)")

FAILURES = (
    Failure(
        "torch.cuda.OutOfMemoryError", "critical", False,
        "CUDA out of memory. Tried to allocate {number}.00 MiB (GPU 0; 79.15 GiB total capacity; "
        "77.02 GiB already allocated; 611.50 MiB free) on {node}",
        (
            _GENERATE,
            (_VLLM, 598, "step_async", "output = await self.model_executor.execute_model()"),
            (f"{_PACKAGES}/torch/nn/functional.py", 1888, "linear",
             "return _C._nn.linear(input, weight, bias)"),
        ),
    ),
    Failure(
        "TimeoutError", "error", False,
        "{model} did not answer sample {sample} within 600 s",
        (
            _GENERATE,
            ("/usr/lib/python3.11/asyncio/timeouts.py", 111, "__aexit__",
             "raise TimeoutError from exc_val"),
        ),
    ),
    Failure(
        "httpx.RemoteProtocolError", "error", False,
        "Server disconnected without sending a response (sample {sample}, {node})",
        (
            _GENERATE,
            (f"{_PACKAGES}/httpx/_transports/default.py", 377, "handle_async_request",
             "resp = await self._pool.handle_async_request(req)"),
        ),
    ),
    Failure(
        "openai.RateLimitError", "warning", False,
        "Error code: 429 - limit of {number} requests per minute reached for {model}",
        (
            _GENERATE,
            (f"{_PACKAGES}/openai/_base_client.py", 1544, "request",
             "raise self._make_status_error_from_response(err.response) from None"),
        ),
    ),
    Failure(
        "NCCLError", "critical", False,
        "ncclSystemError: watchdog caught collective operation timeout on {node}, rank 3",
        (
            (_VLLM, 412, "_run_workers", "return await asyncio.gather(*coros)"),
            (f"{_PACKAGES}/torch/distributed/distributed_c10d.py", 2219, "all_reduce",
             "work = group.allreduce([tensor], opts)"),
        ),
    ),
    Failure(
        "SandboxError", "error", False,
        "container for sample {sample} was killed: memory limit of 4 GiB exceeded",
        (
            ("/opt/evals/sandbox/docker.py", 240, "exec", "raise SandboxError(result.stderr)"),
        ),
    ),
    Failure(
        "KeyError", "error", True,
        "'answer'",
        (
            _SCORE,
            ("/opt/evals/scorers/match.py", 41, "match", 'target = sample.metadata["answer"]'),
        ),
    ),
    Failure(
        "datasets.exceptions.DatasetNotFoundError", "error", True,
        "the pinned revision of the dataset for {task} does not exist on the hub any more",
        (
            ("/opt/evals/runner/task.py", 88, "load_samples", "dataset = hub.load(spec.dataset)"),
            (f"{_PACKAGES}/datasets/load.py", 1731, "dataset_module_factory", "raise e1 from None"),
        ),
    ),
    Failure(
        "CheckpointCorruptError", "critical", True,
        "shard model-00003-of-00006.safetensors of {model}: header is {number} bytes too long",
        (
            ("/opt/evals/models/load.py", 119, "load_weights", "tensors = read_shard(path)"),
            ("/opt/evals/models/shards.py", 57, "read_shard",
             "raise CheckpointCorruptError(path, header)"),
        ),
    ),
)  # fmt: skip

TROUBLES = (
    Trouble("critical", "gpu-fleet", "XidError", "{node}: GPU has fallen off the bus (Xid 79)"),
    Trouble("critical", "artifact-store", "DiskFullError", "volume results-2: {number} MiB left"),
    Trouble("critical", "scheduler", "LeaderLostError", "no leader for {number} ms"),
    Trouble("warning", "gpu-fleet", "ThermalThrottle", "{node}: clocks lowered at 87 °C"),
    Trouble("warning", "model-gateway", "HighErrorRate", "{number} answers 5xx in the last minute"),
    Trouble("warning", "dataset-sync", "StaleMirror", "mirror is {number} minutes behind the hub"),
)
