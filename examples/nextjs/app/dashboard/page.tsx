import type { User } from "doorward";
import { ask } from "../../lib/ask";
import { Panel } from "./panel";

interface Task {
  id: string;
  title: string;
  completed: boolean;
}

export default async function Dashboard() {
  const [user, { tasks }] = await Promise.all([
    ask<User>("/api/auth/me"),
    ask<{ tasks: Task[] }>("/api/users/me/tasks"),
  ]);
  return (
    <>
      <h1>Tasks of {user.name ?? user.email}</h1>
      <ul>
        {tasks.map((task) => (
          <li key={task.id}>{task.completed ? <s>{task.title}</s> : task.title}</li>
        ))}
      </ul>
      <Panel userId={user.id} />
    </>
  );
}
