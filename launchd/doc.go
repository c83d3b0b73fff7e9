// Package launchd makes a program an agent of the user's session: known to the
// session's service manager, started at login and when somebody connects to one of
// its sockets, started again when it crashes. On macOS that manager is launchd,
// spoken to through launchctl; on Linux it is the user's systemd, through systemctl.
// Both are Managers, so that what is built on them is one code.
//
// The package imports nothing of ours. Any program may use it: one that manages the
// agent calls New, the agent itself calls Files or Listeners.
//
// NewDaemon is the same for one program of the whole Mac, that runs as root.
//
// # What is promised
//
//   - Install, Uninstall, Start and Stop may be repeated: what is already so is left
//     alone, and what was done by halves is finished.
//   - Install changes nothing where the manager cannot be reached (ErrNoSession) or
//     where another program has registered the label (ErrForeign), and puts the
//     former definition back when the manager refuses the new one.
//   - Uninstall undoes everything that any version of Install wrote: definitions,
//     registrations, the sockets and the log that the manager made for us, under the
//     label and the former ones. Nothing else is removed. launchd keeps one line in a
//     database of its own that says whether a label is disabled; no command removes it.
//   - A process that the agent has started and left running (a VM) survives the
//     agent's end, its restart, Stop and Uninstall. That is AbandonProcessGroup on
//     macOS and KillMode=process on Linux.
//   - Stop lasts until Start, Install or the next login.
//   - Every call to the manager's tool ends after half a minute at the latest, and
//     when its context ends.
//
// # What the managers get wrong
//
// launchctl gives up waiting for a job's end (36) and says so as if it had failed; a
// bootstrap right after that fails (5) until the job is gone, and sometimes says that
// it has failed when it has not. So what counts here is what `launchctl print` says
// afterwards. A program whose code signature has changed is refused with EX_CONFIG
// (78) until it is registered again, which Install and Start do.
package launchd
