#!/bin/sh
set -eu

sudo virt-install --connect=qemu:///system \
  --name=ci-1 --memory=8192 --vcpus=4 --osinfo=debian12 \
  --cpu=host-passthrough \
  --disk=size=40 --import --noautoconsole
