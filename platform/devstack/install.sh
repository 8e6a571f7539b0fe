# Installs Debian packages so that no service of theirs runs or is enabled.
# Arguments: the root directory ("" for the machine's), then the packages.
set -eu
root=$1
shift
export PATH="$PATH:/usr/sbin:/sbin" # a plain su leaves them out
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1

mark='made by muster for one installation'
policy=$root/usr/sbin/policy-rc.d
clusters=$root/etc/postgresql-common/createcluster.conf

# What stood there is kept beside it. A run that was killed may have left its
# own file and the kept one: then the kept one is the machine's.
keep() {
    if [ -e "$1" ] && ! grep -q "$mark" "$1"; then
        cp -p "$1" "$1.before-muster"
    fi
}

restore() {
    for file in "$policy" "$clusters"; do
        if [ -e "$file.before-muster" ]; then
            mv -f "$file.before-muster" "$file"
        elif [ -e "$file" ] && grep -q "$mark" "$file"; then
            rm -f "$file"
        fi
    done
}
trap restore EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

install() {
    apt-get -qq -y --no-install-recommends -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 install "$@"
}

# What starts by itself at boot, one link a line.
enabled() {
    find "$root/etc/systemd/system" "$root/etc/rc2.d" -type l \( -path '*.wants/*' -o -name 'S*' \) 2>/dev/null | sort
}
before=$(enabled)

echo 'apt-get update'
apt-get -qq -o Acquire::Retries=3 update

# invoke-rc.d asks this file before it starts a service.
keep "$policy"
printf '#!/bin/sh\n# %s\nexit 101\n' "$mark" >"$policy"
chmod 755 "$policy"

case " $* " in
*' postgresql '*)
    echo 'apt-get install postgresql-common'
    install postgresql-common
    keep "$clusters"
    printf '\n# %s\ncreate_main_cluster = false\n' "$mark" >>"$clusters"
    ;;
esac
echo "apt-get install $*"
install "$@"

# All that is new there came with these packages.
enabled | while read -r link; do
    if printf '%s\n' "$before" | grep -qFx "$link"; then
        continue
    fi
    echo "disabling ${link##*/}"
    case $link in
    */rc2.d/S*)
        service=${link##*/S}
        update-rc.d "${service#[0-9][0-9]}" disable
        ;;
    *)
        rm -f "$link" # gone already where update-rc.d has done so
        ;;
    esac
done
if [ -d "$root/run/systemd/system" ]; then
    systemctl daemon-reload
fi
