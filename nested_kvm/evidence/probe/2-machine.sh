cpu() {
    begin /proc/cpuinfo
    if grep -E '^(processor|vendor_id|cpu family|model|model name|flags|vmx flags|features|Features|cpu|platform|MMU)[[:blank:]0-9]*[:=]' \
        /proc/cpuinfo 2>/dev/null; then end ok; else end unreadable; fi
}

vendor_module() {
    vendor=$(grep -m1 '^vendor_id' /proc/cpuinfo 2>/dev/null)
    case $vendor in
        *GenuineIntel* | *CentaurHauls* | *Shanghai*) echo kvm_intel ;;
        *AuthenticAMD* | *HygonGenuine*) echo kvm_amd ;;
        *IBM/S390*) echo kvm ;;
        *)
            if grep -q '^platform.*\(pSeries\|PowerNV\)' /proc/cpuinfo 2>/dev/null; then echo kvm_hv
            elif [ "$(uname -m)" = aarch64 ]; then echo kvm; fi ;;
    esac
}

modules() {
    begin /sys/module
    for path in /sys/module/kvm* /sys/module/vbox* /sys/module/vmmon; do
        if [ -d "$path" ]; then printf '%s\n' "${path##*/}"; fi
    done
    if [ -d /sys/module ]; then end ok; else end "$(missing /sys/module)"; fi
    for path in /sys/module/kvm*; do
        if [ ! -d "$path" ]; then continue; fi
        values "$path"
        values "$path/parameters"
    done
}

kmod() {
    for directory in /etc/modprobe.d /run/modprobe.d /usr/local/lib/modprobe.d /usr/lib/modprobe.d /lib/modprobe.d; do
        names "$directory"
        for path in "$directory"/* "$directory"/.[!.]*; do
            case $path in *"$newline"*) continue ;; esac
            if [ -e "$path" ] || [ -L "$path" ]; then file "$path"; fi
        done
    done
    run modprobe --version
    module=$(vendor_module)
    if [ -z "$module" ]; then return; fi
    run modprobe --show-depends "$module"
    run modinfo --parameters "$module"
}

