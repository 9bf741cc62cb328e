"""Several nodes, which here are groups of processes of one machine."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import mmengine
import pytest
import torch

import bcl_mm  # noqa: F401  (allows torch.load what checkpoints contain)
from tests.cli.common import BCL, NO_GPU, accuracies, children
from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(not NO_GPU, reason='wants CPU processes')

# Batches of 32 images of 331 on 4 processes, whatever the learning.
SHORT = (
    'train_cfg.max_epochs=2',
    'train_cfg.val_interval=2',
    'train_dataloader.batch_size=8',
)
LONG = ('train_cfg.max_epochs=1000', 'train_cfg.val_interval=1000')


@pytest.fixture
def start(free_port):
    """Start dist_train.sh as one node; ends what is left of it."""
    nodes = []

    def start_node(node, num_nodes, gpus, *options, config=BCL, **env):
        environment = dict(
            os.environ,
            PYTHON=sys.executable,
            OMP_NUM_THREADS='1',
            NNODES=str(num_nodes),
            NODE_RANK=str(node),
            PORT=free_port,
            RDZV_TIMEOUT='40',
        )
        nodes.append(
            subprocess.Popen(
                ['bash', 'tools/dist_train.sh', config, str(gpus), *options],
                cwd=ROOT,
                env={**environment, **env},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
        return nodes[-1]

    yield start_node
    for node in nodes:
        if node.poll() is None:
            node.terminate()
            node.communicate(timeout=60)


def output_of(node, within=60):
    """What a node says, and the seconds until its end."""
    began = time.monotonic()
    output, _ = node.communicate(timeout=within)
    return output, time.monotonic() - began


def wait_until(condition, within=90):
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def scalars(work_dir):
    (path,) = work_dir.glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line['loss_con'] for line in lines if 'loss_con' in line]


@pytest.mark.slow
def test_two_nodes_train_as_one(start, run, tmp_path, free_port):
    options = ('--cfg-options', *SHORT, 'default_hooks.logger.interval=1')
    nodes = [
        start(node, 2, 2, '--work-dir', tmp_path / 'two', *options)
        for node in (0, 1)
    ]
    outputs = [output_of(node, 280)[0] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], outputs
    (trained,) = accuracies(outputs[0])
    one = start(0, 1, 4, '--work-dir', tmp_path / 'one', *options)
    assert accuracies(output_of(one, 280)[0]) == [trained]
    # The same processes on one node: bit for bit.
    first = torch.load(tmp_path / 'one' / 'epoch_2.pth')['state_dict']
    second = torch.load(tmp_path / 'two' / 'epoch_2.pth')['state_dict']
    assert all(torch.equal(first[name], second[name]) for name in first)
    losses = scalars(tmp_path / 'two')
    assert losses == scalars(tmp_path / 'one')
    assert len(losses) == 22  # ceil(331 / 32) in each of two epochs

    # Each of 500 test images counts once, and as one process predicts it.
    predictions = []
    for gpus in (1, 3):
        out = tmp_path / f'{gpus}.pkl'
        done = run(
            *('bash', 'tools/dist_test.sh', BCL),
            *(tmp_path / 'two' / 'epoch_2.pth', gpus, '--out', out),
            *('--work-dir', tmp_path / 'test'),
            PORT=free_port,
        )
        assert accuracies(done.stdout) == [trained]
        predictions.append(mmengine.load(out))
    one, three = predictions
    assert len(one) == len(three) == 500
    for a, b in zip(one, three):
        assert a['gt_label'] == b['gt_label']
        assert torch.allclose(a['pred_score'], b['pred_score'], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize('dying', [(0, 0), (1, 1)])
def test_a_process_that_dies_ends_all_nodes(start, tmp_path, dying):
    options = ('--work-dir', tmp_path, '--cfg-options', *LONG)
    nodes = [start(node, 2, 2, *options) for node in (0, 1)]
    wait_until(lambda: list(tmp_path.glob('epoch_*.pth')))
    node, number = dying
    os.kill(children(nodes[node].pid)[number], signal.SIGKILL)
    killed, seconds = output_of(nodes[node])
    other, more = output_of(nodes[1 - node])
    print('seconds', seconds, more)
    assert nodes[node].returncode == 128 + signal.SIGKILL
    assert re.search(
        rf'process {2 * node + number} \(number {number} of node {node}\) '
        'was killed by SIGKILL',
        killed,
    )
    assert nodes[1 - node].returncode != 0
    assert f'of node {1 - node}) ended with status 1' in other
    assert seconds + more < 60


@pytest.mark.slow
def test_a_process_that_hangs_ends_all(start, tmp_path):
    options = ('--work-dir', tmp_path, '--cfg-options', *LONG)
    node = start(0, 1, 2, *options, DIST_TIMEOUT='5')
    wait_until(lambda: list(tmp_path.glob('epoch_*.pth')))
    os.kill(children(node.pid)[1], signal.SIGSTOP)
    # (torchrun gives it 30 s to end by itself.)
    output, seconds = output_of(node)
    print('seconds', seconds)
    assert 'process 0 (number 0 of node 0) ended with status 1' in output


@pytest.mark.slow
def test_a_process_that_never_starts(start, tmp_path):
    # (Node 1 has another config, which ends its process at once.)
    broken = tmp_path / 'broken.py'
    broken.write_text('raise SystemExit(3)\n')
    here = start(0, 2, 1, '--work-dir', tmp_path, RDZV_TIMEOUT='25')
    there = start(1, 2, 1, config=str(broken), RDZV_TIMEOUT='25')
    output, _ = output_of(there)
    assert 'process 1 (number 0 of node 1) ended with status' in output
    output, seconds = output_of(here)
    print('seconds', seconds)
    assert 'of 2 processes 1 did not start within 25 s' in output


@pytest.mark.slow
def test_different_numbers_of_nodes(start, tmp_path):
    options = '--work-dir', tmp_path
    nodes = [start(node, 2 + node, 1, *options) for node in (0, 1)]
    outputs = [output_of(node)[0] for node in nodes]
    assert all(node.returncode for node in nodes)
    expected = r'was started with NNODES=3, process \d with NNODES=2|'
    expected += r'was started with NNODES=2, process \d with NNODES=3'
    assert re.search(expected, ''.join(outputs))


@pytest.mark.slow
@pytest.mark.parametrize('node', [0, 1])
def test_a_node_that_never_starts(start, node):
    began = time.monotonic()
    output, _ = output_of(start(node, 2, 1, RDZV_TIMEOUT='3'))
    if node == 0:
        assert 'node 0 of 2 did not meet the others within 3 s' in output
        assert '1/2 clients joined' in output
    else:
        assert 'node 0 did not answer at 127.0.0.1:' in output
    assert 'RDZV_TIMEOUT=SECONDS waits longer' in output
    assert 'Traceback' not in output
    assert time.monotonic() - began < 60


@pytest.mark.slow
@pytest.mark.parametrize('node', [0, 1])
def test_a_port_of_another_program(start, free_port, node):
    with socket.create_server(('127.0.0.1', int(free_port))):
        output, _ = output_of(start(node, 2, 1, RDZV_TIMEOUT='3'))
    if node == 0:
        assert output.startswith(
            f'Error: port {free_port} of this machine cannot be'
        )
        assert 'set PORT to a free one' in output
    else:  # which listens, and does not speak
        assert 'node 0 did not answer' in output
    assert len(output.splitlines()) == 1


@pytest.mark.parametrize(
    'name, value, message',
    [
        ('NNODES', '0', "NNODES must be a whole number >= 1, got '0'"),
        ('NODE_RANK', '2', 'NODE_RANK must be < NNODES, got 2 of 2'),
        ('NODE_RANK', '-1', "NODE_RANK must be a whole number >= 0, got '-1'"),
        ('PORT', 'x', "PORT must be a whole number in [1, 65535], got 'x'"),
        ('PORT', '99999', 'PORT must be a whole number in [1, 65535], got'),
        ('RDZV_TIMEOUT', '1.5', 'RDZV_TIMEOUT must be a whole number >= 1'),
        ('DIST_TIMEOUT', '0', 'DIST_TIMEOUT must be a whole number >= 1'),
    ],
)
def test_settings_of_a_node(start, name, value, message):
    node = start(0, 2, 1, **{name: value})
    assert f'error: {message}' in output_of(node)[0]
    assert node.returncode == 2
