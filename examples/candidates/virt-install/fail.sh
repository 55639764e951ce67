#!/bin/sh
virt-install --name ci-2 --memory 8192 --vcpus 4 --osinfo debian12 --cpu EPYC --disk size=40 --import
