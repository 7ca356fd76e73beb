/* The machine's end: everybody is asked, then told; the state is unmounted before the power goes. */
#include "init.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>

#define GRACE_MS 3000

static void all_end(int sig, int wait_ms)
{
	int64_t until = now_ms() + wait_ms;

	kill(-1, sig);
	while (now_ms() < until) {
		pid_t pid = waitpid(-1, NULL, WNOHANG);

		if (pid < 0 && errno == ECHILD)
			return;
		if (pid == 0)
			usleep(10000);
	}
}

void machine_stop(int reboot_command)
{
	say(reboot_command == RB_POWER_OFF ? "power off" : "reboot");
	all_end(SIGTERM, GRACE_MS);
	all_end(SIGKILL, GRACE_MS);
	sync();
	if (umount2("/var", MNT_DETACH) < 0)
		say("unmount /var: %s", strerror(errno));
	sync();
	reboot(reboot_command);
	for (;;)
		pause();
}
