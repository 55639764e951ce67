kernel='/proc/sys/kernel/osrelease /proc/sys/kernel/version /proc/cmdline /proc/sys/vm/allocate_pgste'
dmi=/sys/class/dmi/id
firmware_files="$dmi/sys_vendor $dmi/product_name $dmi/product_uuid"
bugs=/sys/devices/system/cpu/vulnerabilities
mitigation_files="$bugs/itlb_multihit $bugs/l1tf"
config_folders='/etc/modprobe.d /run/modprobe.d /usr/local/lib/modprobe.d /usr/lib/modprobe.d /lib/modprobe.d'

# Sets $sizes, with one program start: a line for each file that can be read.
measure() {
    # shellcheck disable=SC2086  # words
    set -- $kernel $firmware_files $mitigation_files /etc/kernel/cmdline
    for folder in $config_folders; do set -- "$@" "$folder"/* "$folder"/.[!.]*; done
    for path do
        shift
        case $path in *"$newline"*) continue ;; esac
        if [ -f "$path" ] && [ -r "$path" ]; then set -- "$@" "$path"; fi
    done
    sizes=$(wc -c "$@" 2>/dev/null)$newline
}

cpu() {
    begin /proc/cpuinfo
    flush
    if grep -E '^(processor|vendor_id|cpu family|model|model name|flags|vmx flags|features|Features|cpu|platform|MMU)[[:blank:]0-9]*[:=]' \
        /proc/cpuinfo 2>/dev/null; then end ok; else end unreadable; fi
}

# Which advisories the changelog of the running kernel's package names: the newest version, and each item
# about KVM below its own. Ubuntu's modules have the changelog that its signed images lack.
changelog() {
    IFS= read -r release </proc/sys/kernel/osrelease
    set --
    if [ -e /var/lib/rpm ]; then set -- rpm -qf --changelog "/lib/modules/$release/vmlinuz"; fi
    for path in /usr/share/doc/linux-[im]*-"$release"*/changelog*.gz; do
        [ ! -r "$path" ] || set -- gzip -dc "$path"
    done
    [ $# -gt 0 ] || return
    begin "$*"
    flush
    limited "$@" 2>/dev/null | awk "$about_kvm"
    end "exit $?"
}

# shellcheck disable=SC2016  # for awk
about_kvm='function p(){if((s=c" "i)~/KVM/&&s~/CVE-202[6-9]|evert/){if(h)print h;h=""
print substr(s,1,999)}i=""}
/^[^ -]/{p();c="";h=$0;if(NR<2){print;h=""}next}
/^ *\* /{p();c=$0;next}
/^ *[-+] /{p();i=$0;next}
{if(i)i=i$0;else c=c$0}
NR==99999{exit}
END{p()}'

# Sets $module. On x86 the vendor is in the second line.
vendor_module() {
    module=
    vendor=
    if [ -r /proc/cpuinfo ]; then { read -r vendor; IFS= read -r vendor; } </proc/cpuinfo; fi 2>/dev/null
    case $vendor in vendor_id*) ;; *) vendor=$(grep -m1 '^vendor_id' /proc/cpuinfo 2>/dev/null) ;; esac
    case $vendor in
        *GenuineIntel* | *CentaurHauls* | *Shanghai*) module=kvm_intel ;;
        *AuthenticAMD* | *HygonGenuine*) module=kvm_amd ;;
        *IBM/S390*) module=kvm ;;
        *)
            if grep -q '^platform.*\(pSeries\|PowerNV\)' /proc/cpuinfo 2>/dev/null; then module=kvm_hv
            elif [ "$(uname -m)" = aarch64 ]; then module=kvm; fi ;;
    esac
}

# The kernels whose modules kmod can find.
trees() {
    begin /lib/modules
    for entry in /lib/modules/*/modules.dep; do [ ! -f "$entry" ] || name "${entry%/*}"; done
    end ok
}

modules() {
    begin /sys/module
    for path in /sys/module/kvm* /sys/module/vbox* /sys/module/vmmon; do
        [ ! -d "$path" ] || name "$path"
    done
    if [ -d /sys/module ]; then end ok; else lacks /sys/module; fi
    for path in /sys/module/kvm* /sys/kernel/livepatch/*; do
        [ -d "$path" ] || continue
        values "$path"
        values "$path/parameters"
    done
}

kmod() {
    for folder in $config_folders; do
        names "$folder"
        for_each file "$folder"
    done
}

