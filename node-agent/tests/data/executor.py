"""An executor written against Mesos' v1 HTTP API with nothing but the standard library.

What a task does is said by its data: "run" runs until it is killed, "finish" ends by itself, "burst N"
sends N updates before that, "eat N" uses N MB, "result N" ends with N bytes of data. A message "again X"
has it send its last update of the task X again, and say whether that is acknowledged. Every other event
is a line on stdout.
"""
import base64, http.client, json, os, sys, threading, time, uuid

endpoint = os.environ["MESOS_AGENT_ENDPOINT"]
ids = {
    "framework_id": {"value": os.environ["MESOS_FRAMEWORK_ID"]},
    "executor_id": {"value": os.environ["MESOS_EXECUTOR_ID"]},
}
lock = threading.Lock()
tasks = {}      # not acknowledged at all yet, as they came
updates = {}    # not acknowledged yet, by uuid
active = {}     # task id -> its data
held = []       # memory in use
last = {}       # the last update of each task
again = set()   # uuids of what was sent again


def say(*words):
    with lock:
        print(*words, flush=True)


def post(call):
    body = json.dumps(dict(ids, **call))
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    connection = http.client.HTTPConnection(endpoint)
    connection.request("POST", "/api/v1/executor", body, headers)
    return connection.getresponse()


def call(body):
    """Until the agent has taken it; it may be away for a while."""
    while True:
        try:
            status = post(body).status
        except (OSError, http.client.HTTPException):
            status = 0
        if status == 202:
            return
        time.sleep(0.05)


def update(task, state, **more):
    status = dict(
        task_id={"value": task}, state=state, source="SOURCE_EXECUTOR", timestamp=time.time(),
        uuid=base64.b64encode(uuid.uuid4().bytes).decode(), **more)
    with lock:
        updates[status["uuid"]] = last[task] = {"status": status}
    call({"type": "UPDATE", "update": {"status": status}})


def run(info):
    task = info["task_id"]["value"]
    does = base64.b64decode(info.get("data", "")).decode().split()
    active[task] = does
    update(task, "TASK_STARTING")
    if does[0] == "eat":
        held.append(bytearray(os.urandom(1) * (int(does[1]) << 20)))
    update(task, "TASK_RUNNING")
    if does[0] == "burst":
        for number in range(int(does[1])):
            update(task, "TASK_RUNNING", message="%d" % number)
    if does[0] != "run":
        active.pop(task)
        size = int(does[1]) if does[0] == "result" else 0
        data = base64.b64encode(bytes(size)).decode()
        update(task, "TASK_FINISHED", message="done", data=data)


def kill(task):
    if active.pop(task, None):
        update(task, "TASK_KILLED")


def handle(event):
    kind = event["type"]
    if kind == "LAUNCH":
        infos = [event["launch"]["task"]]
    elif kind == "LAUNCH_GROUP":
        infos = event["launch_group"]["task_group"]["tasks"]
    else:
        infos = []
    names = [info["task_id"]["value"] for info in infos]
    if kind == "KILL":
        names = [event["kill"]["task_id"]["value"]]
    if kind == "MESSAGE":
        names = [base64.b64decode(event["message"]["data"]).decode()]
    if kind == "ACKNOWLEDGED":
        with lock:
            tasks.pop(event["acknowledged"]["task_id"]["value"], None)
            updates.pop(event["acknowledged"]["uuid"], None)
        if event["acknowledged"]["uuid"] in again:
            say(kind, event["acknowledged"]["task_id"]["value"])
        return
    say(kind, *names)
    for info in infos:
        with lock:
            tasks[info["task_id"]["value"]] = info
        threading.Thread(target=run, args=(info,)).start()
    if kind == "KILL":
        threading.Thread(target=kill, args=(names[0],)).start()
    if kind == "MESSAGE" and names[0].startswith("again "):
        repeated = last[names[0].split()[1]]
        again.add(repeated["status"]["uuid"])
        call({"type": "UPDATE", "update": repeated})
    elif kind == "MESSAGE":
        data = base64.b64encode(("echo " + names[0]).encode()).decode()
        call({"type": "MESSAGE", "message": {"data": data}})
    if kind == "SHUTDOWN" and "stubborn" not in sys.argv:
        for task in list(active):
            kill(task)
        os._exit(0)


def listen():
    with lock:
        subscribe = {
            "unacknowledged_tasks": list(tasks.values()),
            "unacknowledged_updates": list(updates.values()),
        }
    stream = post({"type": "SUBSCRIBE", "subscribe": subscribe})
    if stream.status != 200:
        return
    while True:
        length = stream.readline()
        if not length:
            return
        handle(json.loads(stream.read(int(length))))


def main():
    if "silent" in sys.argv:
        time.sleep(600)
    while True:
        try:
            listen()
        except (OSError, http.client.HTTPException, ValueError):
            pass
        time.sleep(0.1)


main()
