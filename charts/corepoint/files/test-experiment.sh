#!/bin/sh
# `helm test`: an experiment from its description to its comparison, through queue, worker, object store and database.
set -eu
corepoint delete experiment helm-test 2>/dev/null || echo "the first test of this installation"
corepoint create -f /test/experiment.yaml --wait --timeout "$TEST_TIMEOUT"
corepoint compare helm-test
