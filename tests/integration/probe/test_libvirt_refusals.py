"""The definitions that are taken for refused are those that a real libvirt refuses."""

import subprocess
from pathlib import Path

import pytest

from nested_kvm.evidence.libvirt.domain_xml import parse_domain_xml
from nested_kvm.facts.libvirt.cpu_definition import cpu_definition_of

SVM = "<feature policy='require' name='svm'/>"
DEFINITIONS = [
    "",
    "<cpu/>",
    f"<cpu>{SVM}</cpu>",
    f"<cpu mode='custom'>{SVM}</cpu>",
    f"<cpu><model>EPYC</model>{SVM}</cpu>",
    f"<cpu mode='host-model'>{SVM}</cpu>",
    f"<cpu mode='host-passthrough'>{SVM}</cpu>",
    f"<cpu mode='maximum'>{SVM}</cpu>",
    f"<cpu mode='host-passthrough'>{SVM}<feature policy='disable' name='svm'/></cpu>",
    f"<cpu mode='host-passthrough'>{SVM}<feature policy='disable' name='vmx'/></cpu>",
    "<cpu mode='host-passthrough'><feature name='svm'/></cpu>",
    "<cpu mode='host-passthrough'><feature policy='on' name='svm'/></cpu>",
    "<cpu mode='host-passthrough'><feature policy='force' name='svm'/></cpu>",
    "<cpu mode='host-passthrough'><feature policy='optional' name='svm'/></cpu>",
    "<cpu mode='host-passthrough'><feature policy='require'/></cpu>",
    "<cpu mode='host-passthrough' check='some'/>",
    "<cpu mode='host-passthrough' check='none'/>",
    "<cpu match='roughly'><model>EPYC</model></cpu>",
    "<cpu match='minimum'><model>EPYC</model></cpu>",
    "<cpu mode='elsewhere'/>",
]


@pytest.mark.needs("virsh")
@pytest.mark.parametrize("cpu", DEFINITIONS)
def test_libvirt_refuses_what_is_taken_for_refused(cpu: str, tmp_path: Path) -> None:
    text = (
        f"<domain type='test'><name>x</name><memory>1024</memory><os><type arch='x86_64'>hvm</type></os>{cpu}</domain>"
    )
    file = tmp_path / "x.xml"
    file.write_text(text)
    command = ["virsh", "-q", "-c", "test:///default", "define", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    is_refused = cpu_definition_of(parse_domain_xml(text)).invalid is not None
    assert is_refused is (done.returncode != 0), done.stderr
