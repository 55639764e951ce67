kernel='/proc/sys/kernel/osrelease /proc/sys/kernel/version /proc/cmdline /proc/sys/vm/allocate_pgste'
dmi=/sys/class/dmi/id
firmware_files="$dmi/sys_vendor $dmi/product_name $dmi/product_uuid"
bugs=/sys/devices/system/cpu/vulnerabilities
mitigation_files="$bugs/itlb_multihit $bugs/l1tf"
config_folders='/etc/modprobe.d /run/modprobe.d /usr/local/lib/modprobe.d /usr/lib/modprobe.d /lib/modprobe.d'

# Prints the small files, with two program starts, and sets $printed: a line for each of them. Where one cannot be read
# so, each is printed alone.
small_files() {
    # shellcheck disable=SC2086  # words
    set -- $kernel $firmware_files $mitigation_files /etc/kernel/cmdline
    for folder in $config_folders; do set -- "$@" "$folder"/* "$folder"/.[!.]*; done
    printed=$newline
    for path do
        shift
        case $path in *"$newline"*) continue ;; esac
        if [ -f "$path" ] && [ -r "$path" ] && [ ! -L "$path" ]; then
            set -- "$@" "$path"
            printed=$printed$path$newline
        fi
    done
    print_said
    { raw "$nonce $#"; wc -lc "$@"; } 2>/dev/null | awk "$as_frames" 2>/dev/null || printed=
}

# The lines of wc(1) follow the nonce and their number. Whether awk drops a NUL, or what follows it, depends on which awk
# it is: then the length differs.
# shellcheck disable=SC2016  # for awk
as_frames='NR<2{n=$1;c=$2;next}
/\//{c--;p=substr($0,index($0,"/"));t="";k=s=0
if($2<1e5)while((getline x<p)>0){k++;s+=length(x)+1;t=t x"\n"}
close(p)
if(k<$1||s!=$2+k-$1)c=-1e9
else print"@"n" begin "p"\n"t"\n@"n" end ok"}
END{exit c!=0}'

cpu() {
    begin_frame /proc/cpuinfo
    print_said
    if grep -E '^(processor|vendor_id|cpu( family)?|model( name)?|(vmx )?flags|[Ff]eatures|platform|MMU)[[:blank:]0-9]*[:=]' \
        /proc/cpuinfo 2>/dev/null; then end ok; else end unreadable; fi
}

# Which advisories the changelog of the running kernel's package names: the newest version, and each item
# about KVM below its own, back to 2025: no version can name an advisory of a year that was still to come, nor revert its
# fix. Ubuntu's modules have the changelog that its signed images lack. Behind it: the packages
# of kernels that dpkg knows.
changelog() {
    read -r release </proc/sys/kernel/osrelease
    set --
    [ ! -e /var/lib/rpm ] || set -- rpm -qf --changelog "/lib/modules/$release/vmlinuz"
    for path in /usr/share/doc/linux-[im]*-"$release"*/changelog*.gz; do
        [ ! -r "$path" ] || set -- gzip -dc "$path"
    done
    [ "$1" ] || return
    begin_frame "$*"
    print_said
    within_limit "$@" 2>/dev/null | awk "$about_kvm"
    end "exit $?"
}

# shellcheck disable=SC2016  # for awk
about_kvm='function p(){if((s=c" "i)~/KVM/&&s~/CVE-202[6-9]|evert/){if(h)print h;h=""
print substr(s,1,999);n+=200}i=""}
NR+n>99999||NR>1&&/^( --|\*) .* 20([01].|2[0-4]) /{exit}
/^[^ -]/{p();c="";h=$0;if(NR<2){print;h=""}next}
/^ *\* /{p();c=$0;next}
/^ *[-+] /{p();i=$0;next}
{if(i)i=i$0;else c=c$0}
END{p();while((getline<"/var/lib/dpkg/status")>0){if(/^Package: /)k=/linux-image-[0-9]/
if(k&&/^(Pac|Sta|Ver)/)print}}'

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
all_trees() {
    begin_frame /lib/modules
    for entry in /lib/modules/*/modules.dep; do [ ! -f "$entry" ] || name "${entry%/*}"; done
    end ok
}

modules() {
    set -- /sys/module
    begin_frame "$1"
    for path in "$1"/kvm* "$1"/vbox* "$1"/vmmon; do
        [ ! -d "$path" ] || name "$path"
    done
    if [ -d "$1" ]; then end ok; else says_lacking "$1"; fi
    for path in "$1"/kvm* /sys/kernel/livepatch/*; do
        [ -d "$path" ] || continue
        values_of "$path"
        values_of "$path/parameters"
    done
}

kmod() {
    for folder in $config_folders; do
        names_of "$folder"
        for_each file "$folder"
    done
}

